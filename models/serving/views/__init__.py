"""Other shapes of the predictions; the table and its log stay the truth."""
