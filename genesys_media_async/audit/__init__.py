"""The audit trail: one record for every attempt, written before its result is handed out."""
