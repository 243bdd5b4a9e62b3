import base64
import hashlib
import re

import pytest
from made_up import END, PIECES

from jaxshift.report import page, rendering, script


def test_the_policy_names_the_script_that_stands_in_the_page(workdir):
    html = page.write(workdir, PIECES, [END]).read_text(encoding='utf-8')
    begin = html.index('<script>') + 8
    text = html[begin : html.index('</script>', begin)]
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    (policy,) = [line for line in html.splitlines() if 'Content-Security-Policy' in line]
    assert f"default-src 'none'; script-src 'sha256-{digest}'; " in policy
    assert 'unsafe-eval' not in policy
    assert 'http' not in policy.replace('http-equiv', '')


def test_files_are_joined_by_name_and_none_is_allowed_where_there_is_none(tmp_path):
    assert script.joined(tmp_path) == script.Script('', "'none'")
    (tmp_path / 'b.js').write_text('two();')
    (tmp_path / 'a.js').write_text('one();')
    assert script.joined(tmp_path).text == "(() => {'use strict';\none();\ntwo();\n})();"


@pytest.mark.parametrize('text', ['"</SCRIPT>"', '"<!--"', 'a();\r\nb();'])
def test_a_script_that_html_would_cut_is_refused(tmp_path, text):
    (tmp_path / 'a.js').write_bytes(text.encode())
    with pytest.raises(ValueError, match='must not hold'):
        script.joined(tmp_path)


def test_headings_have_ids_of_their_own_and_stand_in_the_contents():
    body, headings = rendering.parted('<h2>What &amp; why</h2><p>x</p><h2>What &amp; why</h2><h2>中文</h2>')
    assert headings == {'what-why': 'What &amp; why', 'what-why-2': 'What &amp; why', '中文': '中文'}
    assert body.startswith('<h2 id="what-why">What &amp; why</h2><p>x</p><h2 id="what-why-2">')


def test_no_line_of_the_script_is_longer_than_those_of_the_program():
    assert [line for line in script.joined().text.splitlines() if len(line) > 120] == []


def test_no_two_files_of_the_script_declare_the_same_name():
    """They share a scope, where the later function would silently stand for both."""
    begins = re.compile(r'^(?:async )?(?:function|class|const|let) (\w+)', re.MULTILINE)
    names = begins.findall(script.joined().text)
    assert len(names) > 50
    assert len(names) == len(set(names))
