"""Quick ways around slow parts of the libraries, each a module with a switch.

What stands here reaches into the insides of a dependency.  Each module takes
the common case only and leaves everything else to the library, so that there
is one place that judges peers; ``--shortcuts`` turns any of them off, and its
docstring names the change of the library that would make it needless.
"""
