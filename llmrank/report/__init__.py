"""What only draws or writes: charts, sentences, tables, the browser's data."""
