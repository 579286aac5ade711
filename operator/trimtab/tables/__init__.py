"""Tables of figures that come with the package (prices, watts, intensities), and files of people's own over them.

Each table is one CSV file `<name>.csv` here: a header line, then one row an entry. `<name>.SOURCE.txt` beside it says
where it comes from, under which licence and with which date. An override is a CSV file that a person edits: its rows
replace those with the same key, a cell that it leaves out or empty keeps the package's value, and other rows are added.
"""

from trimtab.tables.reader import Row, Table, TableError, load, override_path

__all__ = ["Row", "Table", "TableError", "load", "override_path"]
