"""How any service runs: settings, engines, messages, flows, telemetry. It holds no domain noun."""
