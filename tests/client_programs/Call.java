import java.net.URL;

/** Reads the URL that it is given and prints the answer. */
public class Call {
    public static void main(String[] arguments) throws Exception {
        System.out.print(new String(new URL(arguments[0]).openStream().readAllBytes()));
    }
}
