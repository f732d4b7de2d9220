"""Who may send now: callers wait for permits here, in order, on top of the pure account of `quota`."""
