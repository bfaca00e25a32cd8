"""Step 6, later: a provisional answer is followed by the better one when the hub is there again."""
