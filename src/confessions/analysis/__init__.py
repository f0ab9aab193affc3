"""From scores to numbers, tables and figures. Nothing here samples, scores or trains."""
