"""The way of an escalated prompt: admission -> router -> providers -> metering."""
