"""A table as a page: every row, numbers to four digits, and nothing that a cell says is markup."""

import re

from confessions.analysis import pages


def test_a_page_has_every_row_of_its_table(tmp_path):
    file = tmp_path / "made.csv"
    file.write_text('model,value,n,note\nnano,0.123456,64,\n"<b>, s",-1e-7,2.0,a & b\n')
    page = pages.table(file, "Models < all")
    assert "<title>Models &lt; all</title>" in page
    assert re.findall("<th>(.*?)</th>", page) == ["model", "value", "n", "note"]
    number = '<td class="number">'
    rows = page.split("<tbody>")[1].split("</tbody>")[0].strip().splitlines()
    assert rows == [
        f"<tr><td>nano</td>{number}0.1235</td>{number}64</td><td></td></tr>",
        f"<tr><td>&lt;b&gt;, s</td>{number}-1e-07</td>{number}2.0</td><td>a &amp; b</td></tr>",
    ]
    assert "of 2 rows" in page
    assert not re.findall(r"(?:src|href)=", page)  # whole by itself
