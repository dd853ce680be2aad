#!/usr/bin/python3
# trial: 1
# trial: 2
# A package has the submodules that were imported, and no others.
print("Content-Type: text/plain\n")
import concurrent, urllib, xml, importlib, logging, multiprocessing, os

for package, name in ((concurrent, "futures"), (urllib, "parse"), (urllib, "request"), (urllib, "error"), (xml, "etree"), (xml, "dom"), (xml, "sax"),
                      (importlib, "util"), (importlib, "machinery"), (importlib, "resources"), (logging, "handlers"), (logging, "config"),
                      (multiprocessing, "pool"), (os, "path")):
    print(package.__name__, name, hasattr(package, name))
    try:
        getattr(package, name)
    except AttributeError as e:
        print("  ", e)
if os.environ["QUERY_STRING"] == "2":
    import urllib.request, xml.etree.ElementTree, logging.handlers, concurrent.futures
    for package, name in ((concurrent, "futures"), (urllib, "parse"), (urllib, "error"), (urllib, "response"), (xml, "etree"), (xml, "sax"), (logging, "config")):
        print(package.__name__, name, hasattr(package, name))
    print(xml.etree.ElementTree.fromstring("<a><b>text</b></a>")[0].text)
