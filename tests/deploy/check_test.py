"""Each rule of check.py can fail: python3 -m unittest discover -s tests/deploy -p '*_test.py'"""

import copy
import unittest

import check

FIGURES = """
let by_task = &["stage", "topic"];
a: make.counters("insight_hub_a_total", "Help, with a comma.", &["spoke", "outcome"]),
b: make.whole_gauges(
    "insight_hub_b",
    "Help.",
    by_task,
),
c: make.histogram("insight_hub_c_seconds", "Help.", WORK_SECONDS),
d: make.histograms("insight_hub_d_seconds", "Help.", &["feed"], LATENCY_SECONDS),
e: make.counter("insight_hub_e_total", "Help."),
"""
KNOWN = check.figures(FIGURES)
SERVICE = {
    "image": "a/b:1.2.3", "user": "1000:1000", "read_only": True, "restart": "unless-stopped", "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"], "ports": ["127.0.0.1:1:1"], "environment": {"A_PASSWORD_FILE": "/x"},
    "volumes": ["./deploy:/x:ro", "data:/y"], "healthcheck": {"test": ["CMD", "true"]}, "stop_grace_period": "40s",
    "deploy": {"resources": {"limits": {"cpus": "1", "memory": "1M"}}},
}


class Rules(unittest.TestCase):
    def test_figures_are_read_with_their_labels(self):
        expected = {"insight_hub_a_total": {"spoke", "outcome"}, "insight_hub_b": {"stage", "topic"}, "insight_hub_e_total": set()}
        for name, labels in (("insight_hub_c_seconds", set()), ("insight_hub_d_seconds", {"feed"})):
            expected |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
        self.assertEqual(KNOWN, expected)

    def test_queries(self):
        for query, complaint in (
            ('sum by (spoke) (rate(insight_hub_a_total{job="x", outcome=~"a|b{}"}[5m]))', None),
            ('up{job="x"} == 1 unless on (job) insight_hub_b', None),
            ("rate(insight_hub_z_total[5m])", "no figure insight_hub_z_total"),
            ("insight_hub_c_seconds", "no figure insight_hub_c_seconds"),
            ('insight_hub_b{spoke="a"}', "insight_hub_b has no label spoke"),
            ("sum by (feed) (insight_hub_b)", "has a label feed"),
        ):
            complaints = check.query_complaints("here", query, KNOWN)
            self.assertEqual(len(complaints), 1 if complaint else 0, complaints)
            self.assertIn(complaint or "", "".join(complaints))
        known = {"insight_hub_v": {"metric"}}
        self.assertEqual(check.query_complaints("here", 'insight_hub_v{metric="nps"}', known, {"nps"}), [])
        self.match(check.query_complaints("here", 'insight_hub_v{metric="nbs"}', known, {"nps"}), ["no metric nbs"])
        self.assertTrue({"nps", "churn", "expectation_gap", "repurchase_60"} <= check.catalogue())

    def test_dashboards(self):
        target = {"expr": 'sum by (stage) (insight_hub_b{topic="$place"})', "legendFormat": "{{topic}}"}
        at = {"x": 12, "y": 1, "w": 14, "h": 4}
        panel = {"id": 1, "type": "stat", "title": "p", "gridPos": at, "datasource": {"uid": "elsewhere"}, "targets": [target]}
        variable = {"name": "v", "query": {"query": "label_values(insight_hub_e_total, spoke)"}}
        dashboard = {"panels": [panel, {"id": 1, "type": "row", "title": "r", "gridPos": {"x": 0, "y": 3, "w": 24, "h": 1}}], "templating": {"list": [variable]}}
        self.match(
            check.dashboard_complaints("d", dashboard, KNOWN, {"prometheus"}),
            ["two panels", "beyond the right edge", "r lies over p", "no data source elsewhere", "no variable place", "legend shows topic",
             "has a label spoke"],
        )

    def test_alerts(self):
        alert = {"alert": "Bad", "expr": "insight_hub_z > 0", "annotations": {"summary": "s"}}
        test = {"name": "t", "input_series": [{"series": "insight_hub_y"}], "promql_expr_test": []}
        self.match(
            check.alert_complaints([alert], [test], "# R\n## Other\n", KNOWN),
            ["no figure insight_hub_z", "severity", "no description", "runbook_url", "no section", "lets it fire",
             "keeps it silent", "Other is no alert", "no figure insight_hub_y"],
        )

    def test_compose(self):
        good = {"services": {"hub": SERVICE}, "volumes": {"data": None}}
        self.assertEqual(check.compose_complaints(good, 25), [])
        for change, complaint in (
            ({"privileged": True}, "rights"), ({"cap_drop": []}, "rights"), ({"security_opt": []}, "privileges"),
            ({"user": "0:0"}, "root"), ({"read_only": False}, "read-only"), ({"image": "a/b:latest"}, "pinned"),
            ({"deploy": {}}, "limits"), ({"restart": None}, "restart"), ({"ports": ["1:1"]}, "open to others"),
            ({"environment": {"A_PASSWORD": "x"}}, "secret"), ({"volumes": ["./nowhere:/x:ro"]}, "no ./nowhere"),
            ({"volumes": ["./deploy:/x"]}, "write"), ({"volumes": ["lost:/x"]}, "no volume"),
            ({"healthcheck": {}}, "health"), ({"stop_grace_period": "20s"}, "stop_deadline_seconds"),
        ):
            bad = copy.deepcopy(good)
            bad["services"]["hub"] |= change
            self.match(check.compose_complaints(bad, 25), [complaint])

    def test_unit(self):
        unit = check.text("deploy/systemd/insight-hub.service")
        self.match(check.unit_complaints(unit.replace("ProtectSystem=strict", ""), 25), ["ProtectSystem"])
        self.match(check.unit_complaints(unit, 60), ["stop_deadline_seconds"])
        forever = "StartLimitIntervalSec=0\n"
        for limited in ("StartLimitIntervalSec=600\nStartLimitBurst=10\n", ""):
            self.match(check.unit_complaints(unit.replace(forever, limited), 25), ["not started for ever"])
        self.match(check.unit_complaints(unit.replace("Status=2 5", "Status=2 3 5"), 25), ["others mend"])

    def test_prose(self):
        self.assertEqual(check.mention_complaints("r", "`insight_hub_c_seconds` and insight_hub_a_total", KNOWN), [])
        self.match(check.mention_complaints("r", "see `insight_hub_z`.", KNOWN), ["no figure insight_hub_z"])

    def match(self, complaints, expected):
        self.assertEqual(len(complaints), len(expected), complaints)
        for complaint, part in zip(complaints, expected):
            self.assertIn(part, complaint)


if __name__ == "__main__":
    unittest.main()
