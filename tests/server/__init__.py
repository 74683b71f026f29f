"""A real server, a real worker, real runs: `sortline up` as somebody has it."""
