"""The rules of the quota, part by part and as a whole."""
