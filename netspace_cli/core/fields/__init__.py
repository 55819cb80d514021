"""Networks that are signals: shapes as signed distances, pictures; their data, fitting, scores and surfaces."""
