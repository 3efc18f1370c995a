"""What people read of consent, in French: sentences, pages, previews."""
