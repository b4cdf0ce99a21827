"""Reads a list of URLs as JSON from standard input, relative to the argument, and prints the subject that each answers with."""

import json
import sys
from urllib.parse import urljoin
from urllib.request import urlopen

urls = [urljoin(sys.argv[1], url) for url in json.load(sys.stdin)]
print(json.dumps([json.load(urlopen(url, timeout=30))["subject"] for url in urls]))
