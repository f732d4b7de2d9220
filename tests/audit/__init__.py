"""The audit trail: a record for every attempt, written before its result is handed out."""
