"""Programming where the answer brings the tests along that grade it."""
