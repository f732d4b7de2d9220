"""The services of the simulated Genesys Cloud: one module for each family of operations, and what they share."""
