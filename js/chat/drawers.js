/** Turns the side panels into drawers in narrow windows.
 *
 * @module drawers
 */

const main = document.querySelector("main");
const button = (which) => document.getElementById(`${which}-button`);
const panel = (which) => document.getElementById(`${which}-panel`);

function openDrawer(which) {
    document.body.dataset.drawer = which;
    button(which).setAttribute("aria-expanded", "true");
    main.inert = true;
    panel(which).querySelector(".close").focus();
}

/** Closes the open drawer. Returns true if there was one. */
export function closeDrawer() {
    const which = document.body.dataset.drawer;
    if (which) {
        delete document.body.dataset.drawer;
        button(which).setAttribute("aria-expanded", "false");
        main.inert = false;
        button(which).focus();
    }
    return !!which;
}

for (const which of ["rooms", "people"]) {
    button(which).addEventListener("click", () => openDrawer(which));
    panel(which).querySelector(".close").addEventListener("click", closeDrawer);
}
document.getElementById("backdrop").addEventListener("click", closeDrawer);
