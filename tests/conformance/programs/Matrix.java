import java.sql.*;
import java.io.*;
import java.util.*;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

/** JDBC: every way the driver has to talk to a server. Prints what it sees; address in PGHOST, PGPORT, PG*. */
public class Matrix {
  interface Part { void run(Connection connection) throws Exception; }

  /** Simple queries have no parameters: the driver writes values into the text, and cannot write bytes. */
  static boolean simple;

  static void say(String what, Object value) { System.out.println(what + ": " + value); }

  static Connection open(String options) throws SQLException {
    Map<String, String> e = System.getenv();
    return DriverManager.getConnection("jdbc:postgresql://" + e.get("PGHOST") + ":" + e.get("PGPORT") + "/"
        + e.get("PGDATABASE") + "?sslmode=disable&" + options, e.get("PGUSER"), e.get("PGPASSWORD"));
  }

  static void failing(String what, Part part, Connection connection) throws Exception {
    try { part.run(connection); say(what, "did not fail"); }
    catch (SQLException e) { say(what, e.getSQLState() + " " + e.getMessage().replace("\n", " / ")); }
  }

  static void values(Connection c) throws Exception {
    try (PreparedStatement s = c.prepareStatement("SELECT CAST(? AS int) + 1, CAST(? AS text), CAST(? AS bytea), CAST(? AS date), CAST(? AS numeric)")) {
      for (int n = 0; n < 8; n++) {  // from the fifth on the driver names it on the server
        s.setInt(1, n); s.setString(2, "käse"); if (simple) s.setString(3, "\\x00ff"); else s.setBytes(3, new byte[] {0, -1});
        s.setDate(4, java.sql.Date.valueOf("2020-02-29")); s.setBigDecimal(5, new java.math.BigDecimal("1.50"));
        try (ResultSet r = s.executeQuery()) {
          r.next();
          say("values", r.getInt(1) + r.getString(2) + Arrays.toString(r.getBytes(3)) + r.getDate(4) + r.getBigDecimal(5));
        }
      }
    }
    try (Statement s = c.createStatement()) {
      boolean rows = s.execute("SELECT 1; CREATE TEMP TABLE IF NOT EXISTS m (a int); SELECT 2");
      while (rows || s.getUpdateCount() != -1) { say("several", rows); rows = s.getMoreResults(); }
    }
  }

  static void errors(Connection c) throws Exception {
    for (String text : new String[] {"SELECT nope", "SELECT * FROM nowhere", "SELEC 1", "SELECT 1/0", "SELECT 1; SELECT 1/0"}) {
      failing("error", x -> { try (Statement s = x.createStatement()) { s.execute(text); } }, c);
    }
    failing("bad value", x -> {
      try (PreparedStatement s = x.prepareStatement("SELECT CAST(? AS int)")) { s.setString(1, "x"); s.executeQuery(); }
    }, c);
  }

  static void fetching(Connection c) throws Exception {
    c.setAutoCommit(false);
    try (Statement s = c.createStatement()) {
      s.setFetchSize(37);
      int sum = 0;
      try (ResultSet r = s.executeQuery("SELECT generate_series(1, 500)")) { while (r.next()) sum += r.getInt(1); }
      say("portal", sum);
      try (ResultSet r = s.executeQuery("SELECT generate_series(1, 100000)")) { r.next(); say("left early", r.getInt(1)); }
      s.setMaxRows(3);
      int rows = 0;
      try (ResultSet r = s.executeQuery("SELECT generate_series(1, 500)")) { while (r.next()) rows++; }
      say("max rows", rows);
    }
    c.commit();
    c.setAutoCommit(true);
  }

  static void batches(Connection c) throws Exception {
    try (Statement s = c.createStatement()) { s.execute("CREATE TEMP TABLE b (a int PRIMARY KEY, t text)"); }
    try (PreparedStatement s = c.prepareStatement("INSERT INTO b VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
      for (int n = 0; n < 500; n++) { s.setInt(1, n); s.setString(2, "t" + n); s.addBatch(); }
      say("batch", Arrays.stream(s.executeBatch()).sum());
      int keys = 0;
      try (ResultSet r = s.getGeneratedKeys()) { while (r.next()) keys++; }
      say("keys", keys);
      for (int n = 499; n < 503; n++) { s.setInt(1, n); s.setString(2, "again"); s.addBatch(); }
      try { s.executeBatch(); } catch (BatchUpdateException e) {
        say("batch failed", e.getSQLState() + Arrays.toString(e.getUpdateCounts()));
      }
    }
    try (Statement s = c.createStatement()) {
      for (int n = 0; n < 5; n++) s.addBatch("UPDATE b SET t = 'u' WHERE a < " + n);
      say("statements", Arrays.toString(s.executeBatch()));
    }
  }

  static void transactions(Connection c) throws Exception {
    c.setAutoCommit(false);
    try (Statement s = c.createStatement()) {
      s.execute("INSERT INTO b VALUES (1000, 'x')");
      Savepoint point = c.setSavepoint("inner");
      failing("duplicate", x -> s.execute("INSERT INTO b VALUES (1000, 'x')"), c);
      failing("aborted", x -> s.execute("SELECT 1"), c);
      c.rollback(point);
      say("level", c.getTransactionIsolation());
      c.commit();
      c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
      try (ResultSet r = s.executeQuery("SHOW transaction_isolation")) { r.next(); say("isolation", r.getString(1)); }
      c.commit();
      c.setReadOnly(true);
      failing("read only", x -> s.execute("CREATE TABLE never (a int)"), c);
      c.rollback();
      c.setReadOnly(false);
    }
    c.setAutoCommit(true);
  }

  static void copies(Connection c) throws Exception {
    CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
    StringBuilder rows = new StringBuilder();
    for (int n = 2000; n < 12000; n++) rows.append(n).append("\tcopied\n");
    say("copy in", copy.copyIn("COPY b FROM STDIN", new StringReader(rows.toString())));
    StringWriter out = new StringWriter();
    say("copy out", copy.copyOut("COPY b TO STDOUT", out) + " " + out.toString().length());
    failing("bad copy", x -> copy.copyIn("COPY b FROM STDIN", new StringReader("x\ty\n")), c);
  }

  static void notifications(Connection c) throws Exception {
    try (Statement s = c.createStatement(); Connection other = open(""); Statement t = other.createStatement()) {
      s.execute("LISTEN channel");
      t.execute("NOTIFY channel, 'word'");
      int heard = 0;
      for (int n = 0; n < 20 && heard == 0; n++) {
        org.postgresql.PGNotification[] all = c.unwrap(PGConnection.class).getNotifications(1000);
        heard += all == null ? 0 : all.length;
      }
      say("heard", heard);
      s.execute("DO $$ BEGIN RAISE WARNING 'careful'; END $$");
      say("warning", s.getWarnings().getMessage());
    }
  }

  static void cancels(Connection c) throws Exception {
    try (Statement s = c.createStatement()) {
      new Timer(true).schedule(new TimerTask() { public void run() { try { s.cancel(); } catch (SQLException e) { say("cancel", e); } } }, 400);
      failing("cancelled", x -> s.execute("SELECT pg_sleep(30)"), c);
      s.setQueryTimeout(1);
      failing("timed out", x -> s.execute("SELECT pg_sleep(30)"), c);
    }
  }

  static void metadata(Connection c) throws Exception {
    DatabaseMetaData m = c.getMetaData();
    say("server", m.getDatabaseProductVersion());
    int columns = 0;
    try (ResultSet r = m.getColumns(null, "pg_catalog", "pg_class", null)) { while (r.next()) columns++; }
    say("columns", columns);
    try (ResultSet r = m.getPrimaryKeys(null, null, "b")) { while (r.next()) say("key", r.getString("COLUMN_NAME")); }
    int types = 0;
    try (ResultSet r = m.getTypeInfo()) { while (r.next()) types++; }
    say("types", types > 50);
  }

  public static void main(String[] arguments) throws Exception {
    for (String mode : new String[] {"simple", "extended", "extendedForPrepared", "extendedCacheEverything"}) {
      say("mode", mode);
      simple = mode.equals("simple");
      try (Connection c = open("preferQueryMode=" + mode + "&reWriteBatchedInserts=" + mode.equals("extended"))) {
        for (Part part : new Part[] {Matrix::values, Matrix::errors, Matrix::fetching, Matrix::batches,
            Matrix::transactions, Matrix::copies, Matrix::notifications, Matrix::cancels, Matrix::metadata}) {
          part.run(c);
        }
      }
    }
  }
}
