"""Everything that changes or decides something: one call per view, validated and audited."""
