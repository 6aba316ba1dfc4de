// Words of the API that pages choose from.

export const PRIORITIES = ["urgent", "high", "normal", "low"];

export const STATUSES = [
  "queued", "assigned", "working", "completed", "dead_letter", "cancelled", "expired",
];

/** Of tasks that have not ended. */
export const LIVING = ["queued", "assigned", "working"];

/** Of connected agents. */
export const STATES = ["idle", "busy", "unresponsive", "draining", "paused", "returning"];
