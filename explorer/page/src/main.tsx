// The explorer's page: reads its own address, asks the node it came from, and draws the answer.
import { render } from "preact";
import { App } from "./app";
import "./style.css";

const place = document.getElementById("page");
if (place) render(<App />, place);
