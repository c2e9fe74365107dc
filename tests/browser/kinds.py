"""One page of each kind that the site has, by name."""

KINDS = {
    "start": "",
    "article": "i/maildrop-home-directory/",
    "table": "i/",
    "log": "log/",
    "matrix": "matrix/",
    "map": "map/",
    "upgrade": "upgrade/",
    "reference": "reference/modules/",
    "states": "reference/states/",
    "formula": "reference/formula/",
    "program": "source/maildrop-home-directory/",
    "install": "install/",
    "diagnose": "diagnose/",
    "missing": "no/such/page/",
}
