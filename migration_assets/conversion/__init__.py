"""Converting documents into rows: the rules of section 5 of the design.

``values`` holds the rules, one value at a time; ``columns`` applies them to a column at once where
all values are of the expected type, and value by value where not; ``batches`` turns the documents of a
batch into a frame of rows and the books that explain it.
"""
