"""What function authors stream with: `event_stream`, `json_lines`, `merge`. `source` and `both_ways` carry them."""
