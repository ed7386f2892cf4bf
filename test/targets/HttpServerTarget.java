import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicReferenceArray;

/**
 * A JVM as a target: the same service as http-server.ts, with threads that allocate all the time, so that the
 * collector moves objects, polls safepoints and uses its own signals.
 */
public final class HttpServerTarget {
  static final int RECORD_BYTES = 4096;
  static AtomicReferenceArray<Entry> entries;

  record Entry(int version, String text, long[] numbers) {
    static Entry make(int index, int version) {
      String head = index + "." + version + ".";
      String text = head + String.valueOf((char) ('a' + (index + version) % 26)).repeat(RECORD_BYTES / 2 - head.length());
      long[] numbers = new long[RECORD_BYTES / 16];
      Arrays.fill(numbers, text.hashCode());
      return new Entry(version, text, numbers);
    }

    boolean isRight(int index) {
      Entry wanted = make(index, version);
      return text.equals(wanted.text) && Arrays.equals(numbers, wanted.numbers);
    }
  }

  /** Replaces a record by its next version; false if it was damaged. */
  static boolean renew(int index) {
    Entry old = entries.get(index);
    boolean right = old.isRight(index);
    entries.compareAndSet(index, old, Entry.make(index, old.version() + 1));
    return right;
  }

  static volatile int damaged;

  static void allocateForEver() {
    for (;;) {
      for (int i = 0; i < 200; i++) if (!renew(ThreadLocalRandom.current().nextInt(entries.length()))) damaged++;
      try {
        Thread.sleep(2);
      } catch (InterruptedException e) {
        return;
      }
    }
  }

  static void answer(HttpExchange exchange) throws IOException {
    String path = exchange.getRequestURI().getPath(), body;
    int status = 200;
    if (path.equals("/check")) {
      int wrong = damaged;
      for (int i = 0; i < entries.length(); i++) if (!entries.get(i).isRight(i)) wrong++;
      body = "wrong=" + wrong;
    } else {
      int index = ThreadLocalRandom.current().nextInt(entries.length());
      if (!renew(index)) status = 500;
      body = path + " " + entries.get(index).text();
    }
    byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
    exchange.sendResponseHeaders(status, bytes.length);
    exchange.getResponseBody().write(bytes);
    exchange.close();
  }

  public static void main(String[] args) throws IOException {
    int count = (int) (Long.parseLong(args[0]) * 1024 * 1024 / RECORD_BYTES);
    entries = new AtomicReferenceArray<>(count);
    for (int i = 0; i < count; i++) entries.set(i, Entry.make(i, 0));
    for (int i = 0; i < 2; i++) {
      Thread thread = new Thread(HttpServerTarget::allocateForEver, "allocator-" + i);
      thread.setDaemon(true);
      thread.start();
    }
    HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0), 0);
    server.createContext("/", HttpServerTarget::answer);
    server.setExecutor(Executors.newFixedThreadPool(4));
    server.start();
    System.out.println("READY {\"port\":" + server.getAddress().getPort() + "}");
    while (System.in.read() >= 0) {}
    System.exit(0);
  }
}
