"""Tests of the simulator: each service over sockets or in virtual time, and the rules behind them."""
