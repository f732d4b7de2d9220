"""
Benchmarks, each a command of its own: `python -m benchmarks.throughput` from the checkout.

`harness/` starts servers and peers, `peers/` has the programs that are compared, `quota_strategies/` has the ways of
keeping to a quota. README.md describes what is measured and how.
"""
