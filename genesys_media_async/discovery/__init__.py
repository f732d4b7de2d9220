"""Discovery of conversation ids: filters, pages and the search itself."""
