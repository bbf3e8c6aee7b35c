package dev.sanderling;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The README's lines, as they stand: the first block runs, the second compiles beside stand-ins for Android's Context and Worker. */
class ReadmeTest {
    @Test
    void theReadmesLinesRun(@TempDir Path folder) throws Exception {
        String readme = Files.readString(Support.ROOT.resolve("targets/android/README.md"));
        Matcher blocks = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL).matcher(readme);
        List<String> code = new ArrayList<>();
        while (blocks.find()) {
            code.add(blocks.group(1));
        }
        assertEquals(2, code.size());
        String program = "import dev.sanderling.*; import java.io.File; import java.nio.*; import java.util.*;\n"
                + "class Readme {\n"
                + "  interface Context { File getNoBackupFilesDir(); }\n"
                + "  public static void main(String[] args) {\n"
                + "    Map<String, Tensor> inputs = Map.of(\"bytes\", Tensor.zeros(DType.INT32, 1, 2048));\n"
                + code.get(0) + "  }\n"
                + "  boolean isStopped() { return false; }\n"
                + "  void updates(Context context, ByteBuffer file, String ENROLMENT) {\n" + code.get(1) + "  }\n"
                + "}\n";
        Path source = folder.resolve("Readme.java");
        Files.writeString(source, program);
        Support.cli("pack", "examples/magika/sanderling.toml", "--out", folder.resolve("model.sdl"));
        Process java = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-cp", System.getProperty("java.class.path"),
                        "-Djava.library.path=" + System.getProperty("java.library.path"),
                        source.toString())
                .directory(folder.toFile())
                .redirectErrorStream(true)
                .start();
        List<String> lines = new String(java.getInputStream().readAllBytes()).lines().collect(Collectors.toList());
        assertEquals(0, java.waitFor(), () -> String.join("\n", lines));
        assertTrue(lines.get(0).matches("(markdown|txt) 0\\.\\d+.*"), lines.get(0));
        assertTrue(lines.size() > 10);
    }
}
