import { catalog, releases } from "@example/catalog";

export const dynamic = "force-dynamic";

export default function Page() {
  return (
    <main data-releases={releases().join(" ")}>
      <ul>
        {catalog().map(({ name, price }) => (
          <li key={name}>
            {name}: {price}
          </li>
        ))}
      </ul>
    </main>
  );
}
