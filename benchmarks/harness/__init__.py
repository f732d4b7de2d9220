"""What the commands share: an environment, servers, peers run on a core of their own, and the command line."""
