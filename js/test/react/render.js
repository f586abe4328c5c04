/** Renders the app to a string, as a server does. */

import { renderToString } from "react-dom/server";

import { app } from "./app.js";

export const renderOnServer = (options) => renderToString(app(options));
