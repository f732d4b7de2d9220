"""Small faults in the package, and the tests that must notice them."""
