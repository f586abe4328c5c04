/**
 * The app as a server renders it.
 */

import { renderToString } from "react-dom/server";

import { app } from "./app.js";

export const renderOnServer = (options) => renderToString(app(options));
