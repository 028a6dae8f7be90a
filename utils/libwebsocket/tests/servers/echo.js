// An echo server as Node's net module makes them: argv is the socket.
const net = require("net");
const server = net.createServer((socket) => {
  socket.on("data", (data) => {
    socket.write(data);
    if (data.equals(Buffer.from("quit"))) socket.end();
  });
  socket.on("error", () => {});
});
server.listen(process.argv[2]);
