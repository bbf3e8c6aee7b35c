package dev.sanderling;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.ConnectException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestMethodOrder;
import org.junit.jupiter.api.io.TempDir;

/** Updates from a real fleet server on this machine. The rollout comes first: devices that fell silent would be its control arm. */
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
class UpdaterTest {
    @TempDir static Path folder;
    private static Path old;
    private static Path next;
    private static String oldDigest;
    private static String nextDigest;
    private static Process server;
    private static String url;

    @BeforeAll
    static void fleet() throws Exception {
        old = folder.resolve("magika-1.sdl");
        next = folder.resolve("magika-2.sdl");
        String recipe = "examples/magika/sanderling.toml";
        oldDigest = Support.text(Support.cli("pack", recipe, "--version", "1", "--out", old), "sha256");
        nextDigest = Support.text(
                Support.cli("pack", recipe, "--version", "2", "--quantise", "int8", "--out", next), "sha256");
        Path trust = folder.resolve("trust");
        Support.cli("keys", "init", trust);
        server = Support.command("server", "--listen", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--trust", trust,
                        "--data", folder.resolve("data"), "--poll-interval", "1")
                .redirectError(folder.resolve("server.log").toFile())
                .start();
        BufferedReader started = new BufferedReader(new InputStreamReader(server.getInputStream()));
        StringBuilder words = new StringBuilder();
        while (!words.toString().contains("\"url\"")) {
            String line = started.readLine();
            assertTrue(line != null, () -> log());
            words.append(line);
        }
        url = Support.text(words.toString(), "url");
        for (Path bundle : List.of(old, next)) {
            Support.cli("sign", bundle, "--keys", trust.resolve("offline"), "--repo", trust.resolve("image"));
            Object[] more = bundle == old ? new Object[] {"--alias", "champion"} : new Object[] {"--parent", "magika@1"};
            List<Object> line = new ArrayList<>(List.of("publish", "--bundle", bundle, "--repo", trust.resolve("image")));
            line.addAll(List.of(more));
            operator("rollout", line.toArray());
        }
    }

    private static String log() {
        try {
            return Files.readString(folder.resolve("server.log"));
        } catch (IOException error) {
            return error.toString();
        }
    }

    @AfterAll
    static void stop() throws Exception {
        server.destroy();
        server.waitFor();
    }

    private static String operator(String command, Object... words) throws Exception {
        List<Object> line = new ArrayList<>(List.of(command, "--server", url, "--token-file", folder.resolve("data/operator.token")));
        line.addAll(List.of(words));
        return Support.cli(line.toArray());
    }

    private static Updater.Options options(String name) {
        return new Updater.Options(folder.resolve(name).toString(), "test-phone").trialSeconds(1);
    }

    private static Updater.Options enrolled(String name) throws Exception {
        return options(name).factory(old.toString()).enrolment(Support.text(operator("device", "enrol"), "enrolment"));
    }

    private static List<ByteBuffer> files() throws IOException {
        try (Stream<Path> files = Files.walk(Support.ROOT.resolve("updater"))) {
            List<ByteBuffer> all = new ArrayList<>();
            for (Path file : (Iterable<Path>) files.filter(Files::isRegularFile).sorted()::iterator) {
                all.add(Support.direct(Files.readAllBytes(file)));
            }
            return all;
        }
    }

    @Test
    @Order(1)
    void anAppIsUpdatedByARolloutAndKeepsAnswering() throws Exception {
        List<ByteBuffer> files = files();
        try (Updater updater = Updater.open(enrolled("phone"))) {
            Transport transport = new HttpTransport(updater);
            assertEquals("factory", updater.state().place());
            assertEquals(oldDigest, updater.state().image());
            assertEquals(oldDigest, updater.state().factory());
            assertTrue(updater.work(transport, 0) <= 1000);
            for (int i = 0; i < 50 && !updater.state().enrolled(); i++) {
                updater.work(transport, 100);
            }
            assertTrue(updater.state().enrolled(), () -> log());
            String device = updater.state().device();
            assertTrue(operator("device", "list").contains(device));
            String rollout = operator("rollout", "start", "magika@2", "--base", "magika@1", "--stages", "100%", "--dwell", "1");
            // The app's own life: it answers, and its scheduler has the updater work now and then.
            int asked = 0;
            long until = System.nanoTime() + 120_000_000_000L;
            while (!(nextDigest.equals(updater.state().image()) && updater.state().phase().equals("Idle"))) {
                for (int i = 0; i < 10; i++) {
                    assertFalse(updater.answer(files.get(asked++ % files.size())).label().isEmpty());
                }
                updater.work(transport, 300);
                assertTrue(System.nanoTime() < until, () -> updater.state() + "\n" + lines(updater));
            }
            assertEquals("magika 2", updater.state().model() + " " + updater.state().version());
            assertTrue(updater.state().place().startsWith("slot "));
            String told = operator("device", "show", device);
            assertTrue(told.contains(nextDigest), told);
            try (Session session = updater.session()) {
                assertEquals(nextDigest, session.digest());
                session.check();
            }
            // The fleet has seen what it needs: both images on the same inputs, on this one device.
            String id = number(rollout, "id");
            while (!Support.text(operator("rollout", "show", id), "status").equals("completed")) {
                updater.answer(files.get(asked++ % files.size()));
                updater.work(transport, 300);
                assertTrue(System.nanoTime() < until, () -> lines(updater));
            }
            String log = lines(updater);
            assertTrue(log.contains("Confirmed"), log);
        }
        whoEnrolsLaterIsToldToRunTheChampion();
        // Power off, network off: what was fetched answers.
        try (Updater again = Updater.open(options("phone").factory(old.toString()))) {
            assertEquals(nextDigest, again.state().image());
            assertFalse(again.answer(files.get(0)).label().isEmpty());
            Transport away = request -> {
                throw new ConnectException("flight mode");
            };
            assertTrue(again.work(away, 10) > 0);
            assertTrue(lines(again).contains("flight mode"));
            Transport broken = request -> {
                throw new IllegalStateException("a fault of the app's client");
            };
            again.checkIn();
            again.work(broken, 1500);
            assertEquals(nextDigest, again.state().image());
        }
        // Somebody's disk: the slot that serves is damaged, the factory bundle answers.
        try (Stream<Path> slots = Files.list(folder.resolve("phone"))) {
            for (Path slot : (Iterable<Path>) slots.filter(path -> path.toString().endsWith(".sdl"))::iterator) {
                byte[] bytes = Files.readAllBytes(slot);
                if (bytes.length > 0) {
                    bytes[bytes.length / 2] ^= 1;
                    Files.write(slot, bytes);
                }
            }
        }
        try (Updater damaged = Updater.open(options("phone").factory(old.toString()))) {
            assertEquals("factory", damaged.state().place(), lines(damaged));
            assertFalse(damaged.answer(files.get(0)).label().isEmpty());
        }
    }

    private static void whoEnrolsLaterIsToldToRunTheChampion() throws Exception {
        try (Updater updater = Updater.open(enrolled("late"))) {
            long until = System.nanoTime() + 60_000_000_000L;
            while (!nextDigest.equals(updater.state().image())) {
                updater.work(new HttpTransport(), 500);
                assertTrue(System.nanoTime() < until, () -> lines(updater));
            }
            assertEquals(oldDigest, updater.state().factory());
        }
    }

    @Test
    void withoutAnyBundleThereIsNoModel() throws Exception {
        try (Updater updater = Updater.open(enrolled("bare").factory(null))) {
            assertThrows(SanderlingException.NoModel.class, () -> updater.answer(Support.direct(new byte[9])));
            assertThrows(SanderlingException.NoModel.class, updater::session);
            assertNull(updater.state().image());
            assertEquals("NoModel", updater.state().phase());
            assertTrue(updater.work(new HttpTransport(), 500) >= 0);
        }
    }

    private static String number(String json, String key) {
        java.util.regex.Matcher found = java.util.regex.Pattern.compile("\"" + key + "\":\\s*([0-9]+)").matcher(json);
        assertTrue(found.find(), json);
        return found.group(1);
    }

    private static String lines(Updater updater) {
        StringBuilder lines = new StringBuilder();
        for (String line = updater.logLine(); line != null; line = updater.logLine()) {
            lines.append(line).append('\n');
        }
        return lines.toString();
    }

    @Test
    void badInputIsSaidInWords() throws Exception {
        assertThrows(SanderlingException.Argument.class, () -> Updater.open(null));
        assertThrows(SanderlingException.Argument.class, () -> Updater.open(new Updater.Options(null, "x")));
        assertThrows(SanderlingException.Argument.class, () -> Updater.open(new Updater.Options("x", null)));
        assertThrows(SanderlingException.Argument.class, () -> Updater.open(options("a").enrolment("sdl1:nonsense")));
        assertThrows(SanderlingException.Argument.class, () -> Updater.open(enrolled("a").dailyBudget(-1)));
        assertThrows(SanderlingException.State.class, () -> Updater.open(options("a")));
        assertThrows(SanderlingException.File.class, () -> Updater.open(enrolled("a").factory("no/such.sdl")));
        Updater updater = Updater.open(enrolled("b"));
        assertThrows(SanderlingException.State.class, () -> Updater.open(options("b")));
        assertThrows(SanderlingException.Argument.class, () -> updater.work(null, 1));
        assertThrows(SanderlingException.Argument.class, () -> updater.answer(null));
        assertThrows(SanderlingException.Argument.class, () -> updater.answer(ByteBuffer.allocate(9)));
        updater.close();
        updater.close();
        assertThrows(SanderlingException.Closed.class, () -> updater.work(new HttpTransport(), 1));
        assertThrows(SanderlingException.Closed.class, () -> updater.answer(Support.direct(new byte[9])));
        assertThrows(SanderlingException.Closed.class, updater::state);
        assertThrows(SanderlingException.Closed.class, updater::checkIn);
        // The folder is free again, and knows its fleet.
        Updater.open(options("b")).close();
    }

    @Test
    void aStoppedJobEndsHoweverLongItMay() throws Exception {
        try (Updater updater = Updater.open(enrolled("d"))) {
            AtomicBoolean stopped = new AtomicBoolean();
            Transport away = request -> {
                throw new ConnectException("flight mode");
            };
            Thread job = new Thread(() -> updater.work(away, Long.MAX_VALUE, stopped::get));
            job.start();
            // The app's main thread, meanwhile: none of it waits or is refused.
            for (int i = 0; i < 300; i++) {
                updater.rest();
                updater.checkIn();
                Thread.sleep(2);
            }
            assertTrue(job.isAlive());
            stopped.set(true);
            job.join(20_000);
            assertFalse(job.isAlive());
            assertTrue(updater.work(away, -1) >= 0);
            assertThrows(SanderlingException.Argument.class, () -> updater.work(away, 1, null));
        }
    }

    @Test
    void whatTheLibraryRefusesInTheMiddleOfARequestEndsIt() throws Exception {
        try (Updater updater = Updater.open(enrolled("e"))) {
            Transport refusing = request -> {
                throw new SanderlingException.Busy("asked too early");
            };
            assertThrows(SanderlingException.Busy.class, () -> updater.work(refusing, 1000));
            String log = lines(updater);
            assertTrue(log.contains("asked too early"), log);
        }
    }

    @Test
    void anInterruptEndsAJob() throws Exception {
        try (Updater updater = Updater.open(enrolled("c"))) {
            Thread job = new Thread(() -> updater.work(new HttpTransport(), 60_000));
            long start = System.nanoTime();
            job.start();
            Thread.sleep(300);
            job.interrupt();
            job.join(20_000);
            assertFalse(job.isAlive());
            assertTrue(System.nanoTime() - start < 20_000_000_000L);
        }
    }
}
