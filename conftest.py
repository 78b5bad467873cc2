"""What pytest leaves alone: the scripts that the benchmark runs in environments of their own import other packages."""

collect_ignore = ["kernl_keras/benchmark/peers"]
