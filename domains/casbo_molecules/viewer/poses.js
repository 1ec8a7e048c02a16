"use strict";
// The table of poses: a click on a row shows its pose in the pocket, one on a heading sorts.
(function () {
  const panel = document.getElementById("poses");
  if (!panel) return;
  const data = JSON.parse(document.getElementById("poses-data").textContent);
  const stage = document.getElementById("poses-stage");
  const caption = document.getElementById("poses-caption");
  const body = panel.querySelector("tbody");
  let viewer = null;
  let shown = null;

  function makeViewer() {
    try {
      viewer = $3Dmol.createViewer(stage, { backgroundColor: "white", antialias: true });
    } catch (problem) {
      viewer = null;
    }
    if (!viewer) {
      caption.textContent = "This browser offers no WebGL, so poses are not shown in 3D.";
      return;
    }
    viewer.addModel(data.receptor, "pdb");
    viewer.setStyle({ model: 0 }, { cartoon: { color: "#b8c4d2", opacity: 0.6 } });
    viewer.addStyle({ model: 0, resi: data.pocket }, {
      stick: { radius: 0.09, colorscheme: { prop: "elem", map: data.colours } },
    });
  }

  function show(row) {
    body.querySelectorAll("tr").forEach((other) => other.classList.toggle("chosen", other === row));
    if (!viewer) return;
    const pose = data.poses[Number(row.dataset.pose)];
    if (shown) viewer.removeModel(shown);
    viewer.removeAllLabels();
    shown = viewer.addModel(pose.mol, "sdf");
    shown.setStyle({}, { stick: { radius: 0.17, colorscheme: "greenCarbon" } });
    pose.contacts.forEach((contact) => {
      viewer.addLabel(contact.text, {
        fontSize: 11, fontColor: "#1f2731", backgroundColor: "white", backgroundOpacity: 0.75,
        showBackground: true, position: { x: contact.at[0], y: contact.at[1], z: contact.at[2] },
      });
    });
    viewer.zoomTo({ model: shown.getID() });
    viewer.zoom(0.7);
    viewer.render();
    caption.textContent = pose.caption;
    stage.dataset.shown = row.dataset.pose;
  }

  function sort(heading, column) {
    const falling = heading.getAttribute("aria-sort") === "ascending";
    panel.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const numeric = heading.dataset.kind === "number";
    const value = (row) => row.children[column].dataset.value;
    const rows = Array.from(body.rows);
    rows.sort(function (one, other) {
      const a = value(one), b = value(other);
      if (a === "" || b === "") return (a === "") - (b === ""); // what is unknown stays last
      const order = numeric ? Number(a) - Number(b) : a.localeCompare(b);
      return falling ? -order : order;
    });
    rows.forEach((row) => body.appendChild(row));
  }

  panel.querySelectorAll("th").forEach((heading, column) =>
    heading.addEventListener("click", () => sort(heading, column)));
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row) show(row);
  });
  makeViewer();
  if (body.rows.length) show(body.rows[0]);
})();
