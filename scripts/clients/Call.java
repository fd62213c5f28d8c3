import java.net.HttpURLConnection;
import java.net.URL;

/** One call by HttpURLConnection, which SDKs for Java 8 build upon. Arguments: URL, token. */
public class Call {
    public static void main(String[] arguments) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) new URL(arguments[0]).openConnection();
        connection.setRequestProperty("Authorization", "Bearer " + arguments[1]);
        System.out.println(connection.getResponseCode());
    }
}
