"""Small tools of asyncio that know nothing of runs: backoff, condition, single-flight, computing beside the loop."""
