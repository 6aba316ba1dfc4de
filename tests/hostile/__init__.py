"""Peers that mean harm, or are broken: the hub answers them and serves everybody else."""
