"""What each service means. A service imports contracts and chassis, never a sibling."""
