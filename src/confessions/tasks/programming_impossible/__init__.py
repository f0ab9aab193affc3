"""Programming where a sample contradicts the statement: no right program passes the samples."""
