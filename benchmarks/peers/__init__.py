"""
The programs that are compared, each run in a process of its own.

They are started as files with the checkout in PYTHONPATH, so that those of another checkout can be started likewise.
"""
