// Node's ws logs in, asks the chat who it is, and prints the answer: login.js URL HEADERS [CA CERT KEY],
// the headers as JSON.
const fs = require("fs");
const WebSocket = require("ws");
const [url, headers, ...files] = process.argv.slice(2);
const [ca, cert, key] = files.map((path) => fs.readFileSync(path));
const socket = new WebSocket(url, { headers: JSON.parse(headers), ca, cert, key });
socket.on("open", () => socket.send("WSHello"));
socket.on("message", (message) => {
  console.log(message.toString());
  socket.close();
});
socket.on("unexpected-response", (request, response) => {
  console.log(response.statusCode);
  request.destroy();
});
socket.on("error", (error) => console.error(error.message));
