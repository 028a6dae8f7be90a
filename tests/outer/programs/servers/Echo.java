import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;

/** An echo server on a UNIX socket: a thread a client, or one selector for all. */
class Echo {
    public static void main(String[] args) throws Exception {
        var server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        server.bind(UnixDomainSocketAddress.of(args[0]));
        if (args[1].equals("selector")) {
            select(server);
        }
        while (true) {
            var client = server.accept();
            // Both must be UNIX addresses, or these throw.
            System.err.println(client.getLocalAddress() + " " + client.getRemoteAddress());
            new Thread(() -> serve(client)).start();
        }
    }

    static void serve(SocketChannel client) {
        var buffer = ByteBuffer.allocate(1 << 16);
        try (client) {
            while (echo(client, buffer)) {
            }
        } catch (Exception e) {
            e.printStackTrace();
        }
    }

    static boolean echo(SocketChannel client, ByteBuffer buffer) throws Exception {
        buffer.clear();
        if (client.read(buffer) < 0) {
            return false;
        }
        buffer.flip();
        while (buffer.hasRemaining()) {
            client.write(buffer);
        }
        return true;
    }

    static void select(ServerSocketChannel server) throws Exception {
        var selector = Selector.open();
        var buffer = ByteBuffer.allocate(1 << 16);
        server.configureBlocking(false);
        server.register(selector, SelectionKey.OP_ACCEPT);
        while (true) {
            selector.select();
            for (var key : selector.selectedKeys()) {
                if (key.isAcceptable()) {
                    var client = server.accept();
                    System.err.println(client.getLocalAddress() + " " + client.getRemoteAddress());
                    client.configureBlocking(false);
                    client.register(selector, SelectionKey.OP_READ);
                } else if (!echo((SocketChannel) key.channel(), buffer)) {
                    key.channel().close();
                }
            }
            selector.selectedKeys().clear();
        }
    }
}
