"""The report room: tables, figures and the page that holds them."""
