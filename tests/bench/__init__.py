"""What `scripts/bench` runs: latency from a browser's side, the relay beside nginx, and memory."""
